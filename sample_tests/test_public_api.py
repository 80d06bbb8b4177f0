"""Asks the service that the environment's variable API_URL names, and this machine's own Opsroom if there is none."""

import json
import os
from urllib.request import urlopen

URL = os.environ.get("API_URL", "http://127.0.0.1:8000/ping/")


def test_the_api_answers_with_json():
    with urlopen(URL, timeout=10) as response:
        body = json.load(response)

    print(f"{URL} answered {body}")
    assert response.status == 200
    assert body
