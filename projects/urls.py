from datetime import date

from django.urls import path, register_converter
from rest_framework.routers import SimpleRouter

from projects import views
from projects.calendar import feed_views


class DayConverter:
    """URL converter for valid dates such as `2030-01-31`."""

    regex = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"

    def to_python(self, value: str) -> date:
        return date.fromisoformat(value)

    def to_url(self, value: date | str) -> str:
        return str(value)


register_converter(DayConverter, "day")
router = SimpleRouter(use_regex_path=False)
router.register("projects", views.ProjectsView)
router.register("tasks", views.TasksView)

urlpatterns = [
    *router.urls,
    path("tasks/<int:task_id>/comments/", views.CommentsView.as_view(), name="comments"),
    path("tasks/<int:task_id>/comments/<int:pk>/", views.CommentView.as_view(), name="comment"),
    path("reports/", views.ReportsView.as_view(), name="reports"),
    path("reports/<day:date>/", views.ReportView.as_view(), name="report"),
    path("calendar/token/", feed_views.CalendarTokenView.as_view(), name="calendar-token"),
    path("calendar/<str:token>.ics", feed_views.calendar_feed, name="calendar"),
]
