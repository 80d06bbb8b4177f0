"""Admin page to send a notification again, after a confirmation."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, reverse

from core.admin.dialog import ConfirmDialog, ask
from events import services
from events.admin.widgets.page_admin import PageAdmin
from events.models import Notification


def may_resend(request: HttpRequest) -> bool:
    return request.user.has_perm("events.change_notification")


class ResendNotificationAdmin(PageAdmin):
    """Mixin of the notification admin: the page that sends a notification again."""

    def get_urls(self) -> list[URLPattern]:
        return [self.action_url("<any_uuid:pk>/resend/", self.resend, "resend"), *super().get_urls()]

    def resend(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """GET shows the confirmation with its consequence; POST queues the notification for a worker."""
        if not (self.has_view_permission(request) and may_resend(request)):
            raise PermissionDenied
        notification = Notification.objects.filter(pk=pk).first()
        if notification is None:
            raise Http404
        if request.method != "POST":
            return self._question(request, notification)
        if request.POST.get("status") != notification.status:
            messages.warning(request, "It was processed meanwhile, so it was not sent again. Check its state first.")
        else:
            services.resend_notification(event_id=pk)
            self.log_change(request, notification, "Sent it again.")
            messages.success(request, f"The notification to {notification.user_id} is being sent again.")
        return HttpResponseRedirect(reverse("admin:events_notification_change", args=[pk]))

    def _question(self, request: HttpRequest, notification: Notification) -> HttpResponse:
        back = reverse("admin:events_notification_change", args=[notification.pk])
        if notification.status == Notification.Status.PROCESSED or notification.has_failed:
            question = ConfirmDialog(
                f"Send it to {notification.user_id} again?", back, "Send again",
                template="events/resend_question.html", context={"notification": notification},
            )  # fmt: skip
        else:
            words = f"The notification to {notification.user_id} is still being retried automatically."
            question = ConfirmDialog("It is still in progress", back, words=words)
        return ask(request, question, model_admin=self, original=notification)
