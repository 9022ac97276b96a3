"""`sseclient-py`: decodes the events of a response of `requests`."""

import requests
import sseclient
from report import watch


def connect(url, headers):
    with requests.get(url, headers=headers, stream=True, timeout=(5, 60)) as response:
        response.raise_for_status()
        yield from sseclient.SSEClient(response).events()


watch(connect, requests.RequestException)
