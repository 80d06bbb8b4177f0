"""Fake banner API, for a local instance without internet access.

It uses exactly the format that `chats.banners.api_client` reads. Like the real service it is public. It is mounted
under `fake-banner-api/` only while no other banner API is configured (settings.FAKE_BANNER_API).
"""

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import path, reverse
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from chats.fake_banner_api.pictures import NUMBER_OF_PICTURES, PROMOTIONS
from chats.fake_banner_api.pictures import picture as drawn

MAX_PAGE_SIZE = 100
USUAL_PAGE = 10


@require_safe
def photos(request: HttpRequest) -> JsonResponse:
    """List the photos from `offset`, at most `limit`. A page past the end is empty."""
    try:
        offset = int(request.GET.get("offset", 0))
        limit = int(request.GET.get("limit", USUAL_PAGE))
        if offset < 0 or limit < 0:
            raise ValueError
    except ValueError:
        message = "offset and limit are whole numbers, and not negative"
        return JsonResponse({"success": False, "message": message}, status=400)
    numbers = range(1, NUMBER_OF_PICTURES + 1)[offset : offset + min(limit, MAX_PAGE_SIZE)]
    return JsonResponse(
        {
            "success": True,
            "total_photos": NUMBER_OF_PICTURES,
            "message": f"Successfully fetched {len(numbers)} of {NUMBER_OF_PICTURES} photos",
            "offset": offset,
            "limit": limit,
            "photos": [_entry(request, number) for number in numbers],
        }
    )


def _entry(request: HttpRequest, number: int) -> dict[str, int | str]:
    promotion = PROMOTIONS[number - 1]
    return {
        "id": number,
        "title": promotion.headline,
        "description": f"{promotion.line}.",
        "url": request.build_absolute_uri(reverse("fake-banner-api-picture", args=[number])),
        "user": 1 + number % 5,
    }


@require_safe
@cache_control(public=True, max_age=86_400, immutable=True)
def picture(request: HttpRequest, number: int) -> HttpResponse:
    """Return photo `number`, 1200 × 675 pixels."""
    try:
        return HttpResponse(drawn(number), content_type="image/jpeg")
    except IndexError as error:
        raise Http404 from error


urlpatterns = [
    path("photos/", photos, name="fake-banner-api-photos"),
    path("pictures/<int:number>.jpeg", picture, name="fake-banner-api-picture"),
]
