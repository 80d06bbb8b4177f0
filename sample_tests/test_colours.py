"""Prints colours, and what a careless page would take for markup."""


def test_colours_and_markup_are_shown_as_they_are():
    for code, name in enumerate(("red", "green", "yellow", "blue", "magenta", "cyan"), start=31):
        print(f"\033[{code}m{name}\033[0m \033[1;{code}mbold {name}\033[0m")
    print("<b>not bold</b> & <script>alert('not run')</script> \033]0;no new title\007")
