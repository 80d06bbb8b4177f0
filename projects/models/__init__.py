"""Models of projects, tasks, comments, reminders, reports and calendar tokens."""

from projects.models.ledger import CalendarToken, Reminder, Report
from projects.models.project import Project
from projects.models.task import Comment, Task, check_due

__all__ = ["CalendarToken", "Comment", "Project", "Reminder", "Report", "Task", "check_due"]
