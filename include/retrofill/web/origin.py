"""Whether a request that changes something comes from our own page.

Airflow's session cookie is SameSite=Lax: another site cannot send it with a POST, but another port
or subdomain of the same site can. So the request's headers must name the origin of the form.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit


def is_own(headers: Mapping[str, str], base_url: str) -> bool:
    """Return whether no other page can have made a browser send this request.

    :param headers: of the request; names in any case
    :param base_url: the address at which users open Airflow; empty: not configured

    Source: https://www.w3.org/TR/fetch-metadata/ (Sec-Fetch-Site), RFC 6454 section 7 (Origin).
    """
    if headers.get("authorization", "").lower().startswith("bearer "):
        return True  # a page cannot make a browser add it
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Browsers omit it over plain HTTP, but still send Origin.
    origin = urlsplit(headers.get("origin", "")).netloc
    return bool(origin) and origin in {headers.get("host"), urlsplit(base_url).netloc}
