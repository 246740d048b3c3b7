// A `millrace dev` of the tests' own, on free ports, and a service that its workflows call.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';

const MILLRACE = process.env.MILLRACE ?? new URL('../../../../target/debug/millrace', import.meta.url).pathname;

export interface Answer {
  status: number;
  data: unknown;
}

/** What dev prints once it serves. */
interface Document {
  kafka: string;
  http: string;
}

export class Dev {
  private constructor(
    private readonly process: ChildProcess,
    readonly service: Service,
    readonly url: string,
    private readonly kafka: string,
    private readonly token: string | undefined,
  ) {}

  /** `token` is one that may do everything, if arguments ask for one. */
  static async start(parameters: string[] = [], token?: string): Promise<Dev> {
    const service = await Service.start();
    const fixed = ['dev', '--ephemeral', '--kafka', '127.0.0.1:0', '--http', '127.0.0.1:0', '--output', 'json'];
    const child = spawn(MILLRACE, [...fixed, ...parameters], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: ownEnvironment(),
    });
    let told = '';
    child.stderr.on('data', (it) => {
      told += it;
    });
    const said = await new Promise<Document>((resolve, reject) => {
      let text = '';
      child.on('error', (error) =>
        reject(new Error(`${MILLRACE} does not start: ${error.message}; cargo build -p millrace`)),
      );
      child.on('exit', (code) => reject(new Error(`millrace dev ended with ${code}: ${told}`)));
      child.stdout.on('data', (it) => {
        text += it;
        try {
          resolve(JSON.parse(text));
        } catch {
          // The document is not whole yet.
        }
      });
    });
    return new Dev(child, service, said.http, said.kafka, token);
  }

  async stop(): Promise<void> {
    const ended = once(this.process, 'exit');
    this.process.kill('SIGTERM');
    await ended;
    await this.service.stop();
  }

  async ask(target: string, init: RequestInit = {}): Promise<Answer> {
    const headers = new Headers(init.headers);
    if (this.token) headers.set('authorization', `Bearer ${this.token}`);
    const response = await fetch(`${this.url}${target}`, { ...init, headers });
    const text = await response.text();
    return { status: response.status, data: text === '' ? undefined : JSON.parse(text) };
  }

  /** Deploys the text of a definition; `SERVICE` in it is the service. */
  async deploy(text: string): Promise<void> {
    const body = text.replaceAll('SERVICE', this.service.url);
    const init = { method: 'POST', body, headers: { 'content-type': 'application/yaml' } };
    const { deployed } = (await this.must('/v1/definitions', init)) as { deployed: { workflow: string } };
    await this.until(`${deployed.workflow} is known`, async () => {
      return (await this.ask(`/v1/definitions/${deployed.workflow}`)).status === 200;
    });
  }

  async start(workflow: string, id: string, input: unknown = {}): Promise<void> {
    const body = JSON.stringify({ workflow, id, input });
    await this.must('/v1/instances?wait=accepted', {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
  }

  async signal(id: string, type: string, data: unknown = {}): Promise<void> {
    const body = JSON.stringify({ type, data });
    const target = `/v1/instances/${encodeURIComponent(id)}/signals?wait=accepted`;
    await this.must(target, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
  }

  /** Waits until an instance stands like this, as its owner says, and as the list does. */
  async untilStatus(id: string, status: string): Promise<void> {
    await this.until(`${id} is ${status}`, async () => {
      const { data } = await this.ask(`/v1/instances/${encodeURIComponent(id)}`);
      if ((data as { status?: string }).status !== status) return false;
      const list = await this.ask(`/v1/instances?limit=1000&status=${status}`);
      return (list.data as { instances: { id: string }[] }).instances.some((it) => it.id === id);
    });
  }

  /** The command line, for what the API refuses to do. */
  async run(...parameters: string[]): Promise<void> {
    await promisify(execFile)(MILLRACE, ['--bootstrap', this.kafka, ...parameters], { env: ownEnvironment() });
  }

  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 30_000;
    while (!(await holds())) {
      if (Date.now() > deadline) throw new Error(`not within 30 s: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  private async must(target: string, init: RequestInit): Promise<unknown> {
    const { status, data } = await this.ask(target, init);
    if (status >= 300) throw new Error(`${target}: ${status} ${JSON.stringify(data)}`);
    return data;
  }
}

/** Settings that lie about are not for tests. */
function ownEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MILLRACE')));
}

/** What workflows call: `/hold/NAME` is answered when the test says so, `/charge` refuses what costs nothing. */
export class Service {
  readonly #held = new Map<string, ServerResponse[]>();
  readonly #released = new Set<string>();

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async start(): Promise<Service> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const service = new Service(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('request', (request, response) => void service.#respond(request, response));
    return service;
  }

  /** From now on. */
  release(name: string): void {
    this.#released.add(name);
    for (const response of this.#held.get(name) ?? []) reply(response, 200, { released: name });
    this.#held.delete(name);
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = '';
    for await (const piece of request) text += piece;
    const [, what, name = ''] = (request.url ?? '').split('/');
    if (what === 'hold' && !this.#released.has(name)) {
      this.#held.set(name, [...(this.#held.get(name) ?? []), response]);
    } else if (what === 'charge' && !((JSON.parse(text) as { amount?: number }).amount! > 0)) {
      reply(response, 422, { title: 'Nothing to charge', detail: 'the amount must be above 0' });
    } else {
      reply(response, 200, { done: what });
    }
  }
}

function reply(response: ServerResponse, status: number, data: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(data));
}
