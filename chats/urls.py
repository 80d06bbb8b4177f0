from django.urls import path
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
