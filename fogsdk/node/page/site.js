/**
 * The site as the node tells of it: its nodes, once a second, and its tasks.
 */

import { NoToken, follow, read } from "./door.js";

/** Milliseconds without news of the nodes, which come once a second, after which the node counts as away. */
const PATIENCE = 4000;
const PAUSES = [500, 1000, 2000, 3000];

/** It tells `nodes` and `tasks` with each news, and `up` and `down` when the connection comes and goes. */
export class Site extends EventTarget {
  constructor() {
    super();
    this.up = null;
    this.name = "";
    this.node = "";
    this.nodes = [];
    this.tasks = null;
    this.tries = 0;
    this.offers = "";
    this.locked = false;
  }

  /** Watch, for as long as the page lives. */
  async watch() {
    for (;;) {
      this.stop = new AbortController();
      let pause = PAUSES[Math.min(this.tries, PAUSES.length - 1)];
      try {
        await follow("/fog/v1/nodes", {
          signal: this.stop.signal,
          patience: PATIENCE,
          hear: (name, data) => this.hear(name, data),
        });
      } catch (error) {
        this.locked = error instanceof NoToken;
        if (this.locked) pause = 3_600_000; // or until the person wants to try again
      }
      this.down();
      this.tries += 1;
      this.nextTry = Date.now() + pause;
      await new Promise((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, pause);
      });
    }
  }

  /** Try now. */
  poke() {
    this.tries = 0;
    this.wake?.();
  }

  /** The page was away: what is there may be dead. */
  refresh() {
    if (Date.now() - this.heard > PATIENCE / 2) this.stop?.abort();
    this.poke();
  }

  hear(name, data) {
    if (name !== "nodes" || data === null) return false;
    this.heard = Date.now();
    this.tries = 0;
    Object.assign(this, { name: data.site, node: data.node, nodes: data.nodes });
    if (this.up !== true) {
      this.up = true;
      this.dispatchEvent(new Event("up"));
    }
    this.dispatchEvent(new Event("nodes"));
    this.notice(
      JSON.stringify(
        data.nodes.map(({ node, incarnation, state, tasks }) => [
          node,
          incarnation,
          state === "gone" || state === "lost",
          tasks,
        ]),
      ),
    );
    return false;
  }

  down() {
    if (this.up === false) return;
    this.up = false;
    this.dispatchEvent(new Event("down"));
  }

  /** Fetch the tasks, where what the nodes offer has changed. */
  async notice(offers) {
    if (offers === this.offers) return;
    this.offers = offers;
    try {
      const found = await read("/fog/v1/tasks");
      this.tasks = found?.tasks ?? [];
      this.dispatchEvent(new Event("tasks"));
    } catch {
      this.offers = ""; // with the next news of the nodes
    }
  }
}
