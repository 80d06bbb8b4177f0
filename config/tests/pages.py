"""Parser of admin pages: links, and forms with their initial values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

Field = tuple[str, str]
BOXES = ("checkbox", "radio")


@dataclass
class Form:
    """`fields` are always sent; `buttons` are named buttons, of which a browser sends the pressed one."""

    method: str = "get"
    action: str = ""
    marks: dict[str, str] = field(default_factory=dict)  # attributes of the element
    fields: list[Field] = field(default_factory=list)
    buttons: list[Field] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)  # by field: type of input, "textarea" or "select"
    choices: dict[str, list[str]] = field(default_factory=dict)
    can_be_sent: bool = False  # it has a submit button

    def data(self, **changed: str) -> dict[str, list[str]]:
        """Return the body that a browser would send, with some values changed."""
        found: dict[str, list[str]] = {}
        for name, value in self.fields:
            found.setdefault(name, []).append(value)
        return found | {name: [value] for name, value in changed.items()}


class Page(HTMLParser):
    """The parsed page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []
        self.fragments: list[str] = []  # URLs that its scripts load
        self.scripted: list[str] = []  # URLs in `data-…` attributes, to some of which scripts send data
        self.forms: list[Form] = []
        self.title = ""
        self._form: Form | None = None
        self._text: list[str] | None = None
        self._select: tuple[str, bool] | None = None
        self._options: list[tuple[str, bool]] = []
        self._by_id: dict[str, Form] = {}
        self._later: list[tuple[str, str, dict[str, str]]] = []
        self._buttons: list[tuple[Form, str, Form | None]] = []
        self.feed(text)
        for name, tag, given in self._later:  # fields outside the form that they belong to
            if name in self._by_id:
                self._take(self._by_id[name], tag, given)
        for button, included, around in self._buttons:
            if source := self._by_id.get(included.removeprefix("#")) or around:
                button.fields, button.kinds, button.choices = source.fields, source.kinds, source.choices

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("a", "area") and "href" in given:
            self.links.append(given["href"])
        if "hx-get" in given:
            self.fragments.append(given["hx-get"])
        if "hx-post" in given and tag != "form":  # it sends the form that it includes, else the enclosing one
            button = Form("post", given["hx-post"], given, can_be_sent=True)
            self.forms.append(button)
            self._buttons.append((button, given.get("hx-include", ""), self._form))
        self.scripted += [value for name, value in given.items() if name.startswith("data-") and value[:7] == "/admin/"]
        if tag == "form":
            self._form = Form(given.get("method", "get").lower(), given.get("action", ""), given)
            self._by_id[given.get("id", "")] = self._form
            self.forms.append(self._form)
        elif tag == "title":
            self._text = []
        elif tag in ("input", "button", "textarea", "select", "option"):
            self._field(tag, given)

    def _field(self, tag: str, given: dict[str, str]) -> None:
        if tag == "option":
            if self._select:
                self._options.append((given.get("value", ""), "selected" in given))
        elif "form" in given and tag in ("input", "button"):
            self._later.append((given["form"], tag, given))
        elif self._form is not None and tag in ("input", "button"):
            self._take(self._form, tag, given)
        elif self._form is not None and given.get("name") and "disabled" not in given:
            self._form.kinds[given["name"]] = tag
            if tag == "select":
                self._select, self._options = (given["name"], "multiple" in given), []
            else:
                self._name, self._text = given["name"], []

    def _take(self, form: Form, tag: str, given: dict[str, str]) -> None:
        name, kind = given.get("name", ""), given.get("type", "submit" if tag == "button" else "text")
        kind = "hidden" if "hidden" in given or "hidden" in given.get("class", "").split() else kind
        form.can_be_sent |= kind in ("submit", "image")
        if not name or "disabled" in given or kind in ("file", "button", "reset", "image"):
            return
        value = given.get("value", "on" if kind in BOXES else "")
        if kind == "submit":
            form.buttons.append((name, value))
            return
        form.kinds[name] = kind
        if kind in BOXES:
            form.choices.setdefault(name, []).append(value)
        if kind not in BOXES or "checked" in given:
            form.fields.append((name, value))

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "title" and self._text is not None:
            self.title, self._text = "".join(self._text).strip(), None
        elif tag == "textarea" and self._text is not None and self._form is not None:
            self._form.fields.append((self._name, re.sub(r"^\r?\n", "", "".join(self._text))))
            self._text = None
        elif tag == "select" and self._select and self._form is not None:
            name, is_multiple = self._select
            chosen = [value for value, is_chosen in self._options if is_chosen]
            if not chosen and not is_multiple and self._options:
                chosen = [self._options[0][0]]
            self._form.choices[name] = [value for value, _ in self._options]
            self._form.fields += [(name, value) for value in chosen]
            self._select = None
