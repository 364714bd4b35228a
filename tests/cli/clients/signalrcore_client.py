# signalrcore against `hubwire local`, on each transport. It answers no client results, and where it is
# redirected it does not negotiate again, as other transports than WebSockets have to: for them it is led to the service by hand,
# with the token in the query, since polls have no headers of the user's.
# Argument: where it negotiates.
import json
import logging
import queue
import sys
import threading
import urllib.request

from signalrcore.hub_connection_builder import HubConnectionBuilder
from signalrcore.types import HttpTransportType, HubProtocolEncoding

URL = sys.argv[1]
PATIENCE = 10


def calls(transport, protocol):
    user = f'signalrcore-{transport.value}-{protocol.value}'
    url = f'{URL}?user={user}'
    if transport is not HttpTransportType.web_sockets:
        with urllib.request.urlopen(urllib.request.Request(f'{URL}/negotiate?user={user}', method='POST')) as response:
            redirect = json.load(response)
        url = f'{redirect["url"]}&access_token={redirect["accessToken"]}'
    hub = (
        HubConnectionBuilder()
        .with_url(url, options={'transport': transport})
        .with_hub_protocol(protocol)
        .configure_logging(logging.CRITICAL)
        .build()
    )
    opened, closed = threading.Event(), threading.Event()
    messages, errors = queue.Queue(), queue.Queue()
    hub.on_open(opened.set)
    hub.on_close(closed.set)
    hub.on_error(lambda message: errors.put(message.error))
    hub.on('Message', lambda arguments: messages.put(arguments[0]))

    def invoke(method, *arguments):
        results = queue.Queue()
        hub.send(method, list(arguments), results.put)
        return results.get(timeout=PATIENCE).result

    def hears(text):
        while messages.get(timeout=PATIENCE) != text:
            pass

    hub.start()
    assert opened.wait(PATIENCE), 'it does not open'
    value = {'a': [1, 2.5, None, True, 'ü']}
    assert invoke('Echo', value) == value
    hub.send('Fail', ['told'])
    assert 'told' in errors.get(timeout=PATIENCE)

    hub.send('Broadcast', [f'{user} all'])
    hears(f'{user} all')
    hub.send('ToUser', [user, f'{user} user'])
    hears(f'{user} user')
    invoke('Join', user)
    hub.send('ToGroup', [user, f'{user} group'])
    hears(f'{user} group')

    hub.stop()
    assert closed.wait(PATIENCE), 'it does not close'


for transport in HttpTransportType:
    calls(transport, HubProtocolEncoding.text)
# Its client for long polling with MessagePack calls another class's constructor, and gets nowhere with any server.
calls(HttpTransportType.web_sockets, HubProtocolEncoding.binary)
print('done')
