// Streams both ways over MessagePack: prices come, measurements go.
import {
  HubConnection,
  HubConnectionBuilder,
  HttpTransportType,
  IHubProtocol,
  IStreamResult,
  IStreamSubscriber,
  ISubscription,
  JsonHubProtocol,
  LogLevel,
  Subject,
  TransferFormat,
} from "@microsoft/signalr";
import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";

interface Price {
  Symbol: string;
  Value: number;
  At: Date;
}

class Chart implements IStreamSubscriber<Price> {
  closed?: boolean;
  readonly points: [number, number][] = [];

  next(price: Price): void {
    this.points.push([price.At.getTime(), price.Value]);
  }

  error(error: any): void {
    this.closed = true;
    console.error(error);
  }

  complete(): void {
    this.closed = true;
  }
}

function connect(url: string, binary: boolean): HubConnection {
  const protocol: IHubProtocol = binary ? new MessagePackHubProtocol() : new JsonHubProtocol();
  console.log(protocol.name, protocol.version, protocol.transferFormat === TransferFormat.Binary);
  return new HubConnectionBuilder()
    .withUrl(url, HttpTransportType.WebSockets)
    .withHubProtocol(protocol)
    .withAutomaticReconnect([0, 1000, 5000, 10_000])
    .configureLogging(LogLevel.Warning)
    .build();
}

export async function watch(symbols: string[], milliseconds: number): Promise<[number, number][]> {
  const connection = connect("/prices", true);
  await connection.start();
  const charts = symbols.map((): Chart => new Chart());
  const subscriptions: ISubscription<Price>[] = symbols.map((symbol, index) => {
    const prices: IStreamResult<Price> = connection.stream<Price>("Prices", symbol, { every: 100 });
    return prices.subscribe(charts[index]!);
  });
  await new Promise((done) => setTimeout(done, milliseconds));
  for (const subscription of subscriptions) subscription.dispose();
  await connection.stop();
  return charts.flatMap(({ points }) => points);
}

export async function measure(read: () => number, count: number): Promise<number> {
  const connection = connect("/measurements", false);
  await connection.start();
  const readings = new Subject<number>();
  const calibration = new Subject<string>();
  const watching = readings.subscribe({
    next: (value: number) => console.log(value),
    error: (error: any) => console.error(error),
    complete: () => console.log("all read"),
  });
  const average = connection.invoke<number>("Average", "sensor-1", readings, calibration);
  for (let n = 0; n < count; n++) readings.next(read());
  readings.complete();
  calibration.error(new Error("not calibrated"));
  watching.dispose();
  // Two streams at once: what goes up comes down doubled.
  const doubled = new Subject<number>();
  const results: number[] = [];
  connection.stream<number>("Double", doubled).subscribe({
    next: (value) => results.push(value),
    error: () => results.splice(0),
    complete: () => {},
  });
  doubled.next(1);
  doubled.complete();
  try {
    return await average;
  } finally {
    await connection.stop();
  }
}
