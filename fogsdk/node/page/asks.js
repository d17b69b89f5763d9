/**
 * The tasks that were asked for on this visit, each followed until it is settled.
 *
 * A task keeps its id however often the connection is lost: the node then attaches to what runs, or says again what came
 * of it, so that nothing runs twice. After `FORGOTTEN` without a word the node may have forgotten the outcome; then it is
 * asked only, and the person decides. What is open and what was small is kept in the tab (sessionStorage), for a page that
 * the phone threw out of its memory.
 */

import { decode, encode } from "./cbor.js";
import { NoToken, Unreachable, follow, randomId, send, unpack } from "./door.js";

const PATHS = "/fog/v1/tasks";
/** Milliseconds for which a node certainly keeps an outcome; it does for five minutes. */
const FORGOTTEN = 270_000;
/** Milliseconds of silence, a node says something every 15 s, after which a stream is taken for dead. */
const PATIENCE = 40_000;
/** Milliseconds that a request may take, uploads included. */
const UPLOAD = 120_000;
const PAUSES = [300, 700, 1500, 3000, 5000];
const KEPT = "fog-asks";
/** Characters that are kept of one task at the most, and of all. */
const ROOM = 700_000;
const ALL_ROOM = 3_000_000;

/**
 * One task that was asked for. It tells `change` with each news.
 *
 * `state` is sending, waiting (accepted), running (there was progress), or settled: done, failed, refused, expired,
 * cancelled, forgotten. `broken` says that the connection is away, `problem` is what the node said of one that went wrong.
 */
export class Ask extends EventTarget {
  constructor(task, args, kwargs, options, saved = {}) {
    super();
    Object.assign(this, {
      task,
      args,
      kwargs,
      options,
      id: randomId(),
      at: Date.now(),
      state: "sending",
      fraction: null,
      node: "",
      broken: false,
      value: undefined,
      problem: null,
      trace: [],
      took: null,
      cancelling: false,
      label: "",
      ...saved,
    });
    this.heard = saved.heard ?? this.at;
    this.tries = 0;
  }

  get settled() {
    return !["sending", "waiting", "running"].includes(this.state);
  }

  get path() {
    return `${PATHS}/${encodeURIComponent(this.task)}`;
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }

  /** See to it until it is settled. */
  async run() {
    while (!this.settled) {
      this.stop = new AbortController();
      try {
        await (this.cancelling ? this.sendCancel() : this.exchange());
      } catch (error) {
        if (error instanceof NoToken)
          this.settle("refused", {
            problem: { reason: "unauthorized", detail: "This node wants a token, and none was given." },
          });
        else if (!(error instanceof Unreachable)) throw error;
        else await this.pause();
      }
    }
  }

  async exchange() {
    const asked = Date.now() - this.heard > FORGOTTEN ? await this.look() : await this.post();
    if (!asked) return;
    this.take({ fraction: asked.get("progress"), node: asked.get("node") });
    const hear = (name, data) => this.hear(name, data);
    const refused = await follow(`${this.path}/${this.id}`, { signal: this.stop.signal, patience: PATIENCE, hear });
    if (refused?.status !== 404) await this.look(); // the node forgot it, being new perhaps: then it is posted again
  }

  post() {
    const query = new URLSearchParams({ id: this.id });
    if (this.options.deadline) {
      const left = this.options.deadline - (Date.now() - this.at) / 1000;
      if (left <= 0)
        return this.settle("expired", {
          problem: { reason: "deadline-exceeded", detail: "The deadline passed before an answer was there." },
        });
      query.set("deadline", left.toFixed(3));
    }
    if (this.options.priority) query.set("priority", this.options.priority);
    const body = encode({ body: encode([this.args, this.kwargs]) }); // the nodes on the way need not open it
    return this.request(`${this.path}?${query}`, { method: "POST", body, prefer: "respond-async" });
  }

  look() {
    return this.request(`${this.path}/${this.id}?wait=5`, {});
  }

  /** Send a request, and settle if its answer does. Returns how far the task is otherwise. */
  async request(path, options) {
    const timer = setTimeout(() => this.stop.abort(), UPLOAD);
    try {
      return await this.answered(
        await send(path, { accept: "application/cbor", signal: this.stop.signal, ...options }),
      );
    } finally {
      clearTimeout(timer);
    }
  }

  async answered(response) {
    const unpacked = await unpack(response).catch((error) => {
      if (error instanceof Unreachable) throw error;
      this.settle("failed", { problem: { error: "The answer cannot be read", message: error.message } });
    });
    if (!unpacked) return;
    const { bytes, value } = unpacked;
    if (response.status === 202) {
      this.take({});
      return value ?? new Map();
    }
    if (response.ok) this.settle("done", { value: value.get("value"), trace: plainTrace(value), answer: bytes });
    else
      await this.refusedWith(
        value instanceof Map ? value : new Map([["detail", `The node answered ${response.status}.`]]),
      );
    return null;
  }

  async refusedWith(said) {
    const reason = said.get("reason");
    if (reason === "leaving") throw new Unreachable("the node is shutting down");
    const state =
      { failed: "failed", "deadline-exceeded": "expired", cancelled: "cancelled", "unknown-id": "forgotten" }[reason] ??
      "refused";
    this.settle(state, {
      problem: Object.fromEntries(said),
      trace: plainTrace(said),
      ...(state === "forgotten" && { took: null }),
    });
  }

  hear(name, data) {
    if (data === null) return true; // the outcome, which is fetched in CBOR
    if (name === "accepted") this.take({ node: data.node });
    if (name === "progress") this.take({ fraction: data.fraction });
    return false;
  }

  take({ fraction, node }) {
    this.heard = Date.now();
    this.tries = 0;
    this.broken = false;
    this.node = node ?? this.node;
    this.fraction = fraction ?? this.fraction;
    this.state = this.fraction === null ? "waiting" : "running";
    this.tell();
  }

  settle(state, fields) {
    if (this.settled) return null;
    Object.assign(this, { state, broken: false, took: Date.now() - this.at, ...fields });
    this.tell();
    return null;
  }

  async pause() {
    this.broken = true;
    this.tell();
    const pause = PAUSES[Math.min(this.tries, PAUSES.length - 1)];
    this.tries += 1;
    await new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, pause);
    });
  }

  /** The connection may be back, or dead without a word: try again now. */
  poke() {
    if (this.settled) return;
    this.wake?.();
    if (this.broken || Date.now() - this.heard > PATIENCE / 2) this.stop?.abort();
  }

  /** The node fell silent: what comes over a connection that is there still may never come. */
  doubt() {
    if (!this.broken) this.stop?.abort();
  }

  /** Stop the task, as soon as the node can be told. */
  cancel() {
    if (this.settled || this.cancelling) return;
    this.cancelling = true;
    this.tell();
    this.stop?.abort();
    this.wake?.();
  }

  async sendCancel() {
    const response = await send(`${this.path}/${this.id}`, {
      method: "DELETE",
      accept: "application/cbor",
      signal: this.stop.signal,
    });
    if (response.status === 204) this.settle("cancelled", {});
    else if (await this.answered(response)) await this.pause();
  }
}

function plainTrace(said) {
  return (said.get("trace") ?? []).map((hop) => Object.fromEntries(hop));
}

// ---------------------------------------------------------------- all of this visit

/** The tasks of this visit, the latest first. It tells `added`, and `change` with each news of any. */
export class Asks extends EventTarget {
  constructor() {
    super();
    this.all = [];
  }

  get open() {
    return this.all.filter((ask) => !ask.settled);
  }

  /** Ask for a task; `label` are its arguments, for people. */
  add(task, args, kwargs, options, label) {
    return this.follow(new Ask(task, args, kwargs, options, { label }));
  }

  follow(ask) {
    this.all.unshift(ask);
    ask.addEventListener("change", () => {
      if (ask.settled || ask.state === "sending") this.keep();
      this.dispatchEvent(new Event("change"));
    });
    this.keep();
    this.dispatchEvent(new CustomEvent("added", { detail: ask }));
    ask.run();
    return ask;
  }

  /** See to all that is open, now. */
  poke() {
    this.open.forEach((ask) => ask.poke());
  }

  /** The node fell silent. */
  doubt() {
    this.open.forEach((ask) => ask.doubt());
  }

  /** Write down what a page that begins anew would need. */
  keep() {
    let room = ALL_ROOM;
    const kept = [];
    for (const ask of this.all) {
      const text = record(ask);
      if (text.length > Math.min(ROOM, room)) continue;
      room -= text.length;
      kept.push(text);
    }
    try {
      sessionStorage.setItem(KEPT, `[${kept.join(",")}]`);
    } catch {
      sessionStorage.removeItem(KEPT); // there is no room: then this visit ends with the page
    }
  }

  /** Go on with what a page in this tab had begun. */
  restore() {
    for (const kept of JSON.parse(sessionStorage.getItem(KEPT) ?? "[]").reverse()) {
      const { task, options, body, answer, ...saved } = kept;
      const [args, kwargs] = body ? decode(fromText(body)) : [[], new Map()];
      if (answer) {
        const value = decode(fromText(answer));
        Object.assign(saved, { value: value.get("value"), trace: plainTrace(value), answer: fromText(answer) });
      }
      this.follow(new Ask(task, args, kwargs, options, saved));
    }
  }
}

function record(ask) {
  const { task, options, id, at, heard, label, state, problem, trace, took, cancelling, answer } = ask;
  const body = ask.settled ? undefined : toText(encode([ask.args, ask.kwargs]));
  const plain = answer ? { answer: toText(answer) } : { problem: problem && { ...problem, trace: undefined }, trace };
  const settled = ask.settled ? { state, took } : {};
  return JSON.stringify({ task, options, id, at, heard, label, cancelling, body, ...settled, ...plain }, (_, each) =>
    typeof each === "bigint" ? Number(each) : each,
  );
}

function toText(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

function fromText(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}
