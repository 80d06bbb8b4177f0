from django.urls import path
from rest_framework import renderers
from rest_framework.routers import SimpleRouter

from testrunner import views

router = SimpleRouter(use_regex_path=False)
router.register("environments", views.EnvironmentsView, "environment")
router.register("test-files", views.TestFilesView, "test-file")
router.register("test-runs", views.TestRunsView, "test-run")

# The address ends in a file name, so it has no trailing slash.
junit = views.TestRunsView.as_view(
    {"get": "junit"},
    renderer_classes=[views.Xml, renderers.JSONRenderer],
    pagination_class=None,
    filterset_class=None,
)

urlpatterns = [path("test-runs/<int:pk>/junit.xml", junit, name="test-run-junit"), *router.urls]
