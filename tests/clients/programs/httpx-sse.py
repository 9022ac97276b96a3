"""`httpx-sse`: decodes the events of a response of `httpx`."""

import httpx
import httpx_sse
from report import watch


def connect(url, headers):
    # `httpx` gives up after five seconds without a byte, and a silent stream sends a comment every 15 seconds.
    timeout = httpx.Timeout(5, read=60)
    with httpx.Client(timeout=timeout) as client, httpx_sse.connect_sse(client, "GET", url, headers=headers) as source:
        source.response.raise_for_status()
        yield from source.iter_sse()


watch(connect, httpx.TransportError)
