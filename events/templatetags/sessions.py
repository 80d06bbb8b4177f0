"""Links to sessions."""

from django import template

from events.session_address import page_of

register = template.Library()
register.filter("session_page", page_of)
