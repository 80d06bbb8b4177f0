"""Factories with neutral default values for tests and demos. Each test sets the fields that matter to it."""

import factory
from django.utils import timezone

from projects.models import Comment, Project, Task


class ProjectFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Project

    name = factory.Sequence("Project {}".format)


class TaskFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Task

    project = factory.SubFactory(ProjectFactory)
    title = factory.Sequence("Task {}".format)

    class Params:
        completed = factory.Trait(status=Task.Status.COMPLETED, completed_at=factory.LazyFunction(timezone.now))


class CommentFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Comment

    task = factory.SubFactory(TaskFactory)
    author = "ann"
    content = factory.Sequence("Comment {}".format)
