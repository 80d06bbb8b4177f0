"""Models of projects, tasks, comments, reminders, reports and calendar tokens."""

from projects.models.calendar_token import CalendarToken
from projects.models.project import Project
from projects.models.reminder import Reminder
from projects.models.report import Report
from projects.models.task import Comment, Task, check_due

__all__ = ["CalendarToken", "Comment", "Project", "Reminder", "Report", "Task", "check_due"]
