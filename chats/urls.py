from django.conf import settings
from django.urls import include, path
from rest_framework.routers import SimpleRouter

from chats import views

router = SimpleRouter(use_regex_path=False)
router.register("broadcasts", views.BroadcastsView)

urlpatterns = [
    path("chats/", views.ChatsView.as_view(), name="chats"),
    path("chats/<any_uuid:user_uuid>/", views.ChatView.as_view(), name="chat"),
    path("chats/<any_uuid:user_uuid>/messages/", views.Messages.as_view(), name="messages"),
    path("chats/<any_uuid:user_uuid>/messages/read/", views.ReadMarks.as_view(), name="read"),
    *router.urls,
]
if settings.FAKE_BANNER_API:
    urlpatterns += [path("fake-banner-api/", include("chats.fake_banner_api.views"))]
