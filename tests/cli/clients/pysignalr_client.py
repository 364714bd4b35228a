# pysignalr against `hubwire local`, in both protocols. It has WebSockets only. Argument: where it negotiates.
import asyncio
import sys

from pysignalr.client import SignalRClient
from pysignalr.protocol.json import JSONProtocol
from pysignalr.protocol.messagepack import MessagepackProtocol

URL = sys.argv[1]
PATIENCE = 10


async def calls(protocol):
    user = f'pysignalr-{type(protocol).__name__}'
    hub = SignalRClient(f'{URL}?user={user}', protocol=protocol)
    opened, closed = asyncio.Event(), asyncio.Event()
    messages = asyncio.Queue()
    errors = asyncio.Queue()

    async def on_open():
        opened.set()

    async def on_close():
        closed.set()

    async def answer(arguments):
        return f'{arguments[0]}, because'

    async def failed(message):
        await errors.put(message.error)

    async def ignored(_):
        pass

    async def message(arguments):
        await messages.put(arguments[0])

    hub.on_open(on_open)
    hub.on_close(on_close)
    hub.on_error(failed)
    hub.on('Message', message)
    hub.on('Question', answer)

    async def invoke(method, *arguments):
        result = asyncio.get_running_loop().create_future()

        async def completed(message):
            result.set_result(message.result)

        await hub.send(method, list(arguments), completed)
        return await asyncio.wait_for(result, PATIENCE)

    async def hears(text):
        while await asyncio.wait_for(messages.get(), PATIENCE) != text:
            pass

    running = asyncio.create_task(hub.run())
    await asyncio.wait_for(opened.wait(), PATIENCE)
    value = {'a': [1, 2.5, None, True, 'ü']}
    assert await invoke('Echo', value) == value
    await hub.send('Fail', ['told'], ignored)
    assert 'told' in await asyncio.wait_for(errors.get(), PATIENCE)

    await hub.send('Broadcast', [f'{user} all'])
    await hears(f'{user} all')
    await hub.send('ToUser', [user, f'{user} user'])
    await hears(f'{user} user')
    await invoke('Join', user)
    await hub.send('ToGroup', [user, f'{user} group'])
    await hears(f'{user} group')

    # Its result comes while it is asked: the client reads on.
    assert await invoke('Ask', 'why') == 'why, because'

    opened.clear()
    await hub.send('Bye', [])
    await asyncio.wait_for(closed.wait(), PATIENCE)
    await asyncio.wait_for(opened.wait(), PATIENCE)
    assert await invoke('Echo', 'again') == 'again'

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def main():
    await calls(JSONProtocol())
    await calls(MessagepackProtocol())
    print('done')


asyncio.run(main())
