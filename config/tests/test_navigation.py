"""The navigation is on every page of the admin, so it has to be cheap."""

from config.pages import navigation


def test_a_page_resolves_no_link_of_the_navigation_that_an_earlier_page_has_resolved(as_superuser):
    as_superuser.get("/admin/chats/chat/")
    before = navigation._resolved.cache_info()

    page = as_superuser.get("/admin/chats/chat/").content.decode()

    after = navigation._resolved.cache_info()
    assert 'href="/admin/projects/task/"' in page
    assert (after.misses, after.hits > before.hits) == (before.misses, True)
