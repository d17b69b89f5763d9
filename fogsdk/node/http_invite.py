"""``GET /fog/v1/invite``: what the next device needs to come here too, as text and as a QR code for its camera."""

from __future__ import annotations

from aiohttp import web

from fogsdk.device.addresses import is_loopback
from fogsdk.device.invite import Invite
from fogsdk.device.url import parse
from fogsdk.node.config import NodeSettings
from fogsdk.node.doors import addresses
from fogsdk.node.http_answers import respond
from fogsdk.node.http_guard import host_name, token_of
from fogsdk.node.http_requests import answer_type
from fogsdk.node.invite import broker_url, qr_svg
from fogsdk.node.runtime import Runtime


class InviteRoute:
    """Invites to the page of this node, and to the brokers that it knows: with the token of who asks, and never with a
    login of the node's own."""

    def __init__(self, settings: NodeSettings, runtime: Runtime) -> None:
        self._settings = settings
        self._runtime = runtime

    async def invite(self, request: web.Request) -> web.Response:
        """The invitation."""
        site, page = self._runtime.identity.site, self._page(request)
        urls = [broker_url(parse(name), site, host_name(page.split("/")[2])) for name in self._runtime.brokers]
        urls += [broker_url(parse(url), site) for url in addresses(self._settings) if url.startswith("coap")]
        text = Invite(tuple(urls), page, token_of(request)).text()
        said = {"url": page, "site": site, "urls": urls, "text": text, "qr": qr_svg(text).decode()}
        return respond(said, kind=answer_type(request))

    def _page(self, request: web.Request) -> str:
        """The page as others reach it: as this client did, unless it came from this computer."""
        if is_loopback(host_name(request.host)) and not self._settings.loopback:
            for url in addresses(self._settings):
                if url.startswith("http"):
                    return url
        return f"{request.scheme}://{request.host}/"
