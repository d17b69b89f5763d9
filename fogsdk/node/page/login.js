/**
 * Asks for a token, where the node wants one: `<fog-login>`. An invitation may bring it, in the address after `#`.
 */

import { h } from "./dom.js";
import { login, useToken } from "./door.js";

class FogLogin extends HTMLElement {
  connectedCallback() {
    this.takeInvitation();
    this.input = h("input", {
      id: "token",
      type: "password",
      autocomplete: "current-password",
      required: true,
      "aria-describedby": "token-hint token-error",
    });
    this.errorLine = h("p", { id: "token-error", class: "error", role: "alert" });
    this.form = h(
      "form",
      { submit: (event) => this.done(event) },
      h("h2", { id: "login-title" }, "This node wants a token"),
      h(
        "p",
        { id: "token-hint", class: "hint" },
        "Who runs it has one for you, or an invitation to scan. It stays in this tab, and goes when you close it.",
      ),
      h("label", { class: "label", for: "token" }, "Token"),
      this.input,
      this.errorLine,
      h(
        "div",
        { class: "actions" },
        h("button", { type: "button", click: () => this.dialog.close() }, "Not now"),
        h("button", { class: "primary" }, "Go on"),
      ),
    );
    this.dialog = h("dialog", { "aria-labelledby": "login-title", close: () => this.answer?.(null) }, this.form);
    this.replaceChildren(this.dialog);
    login.ask = (words) => this.ask(words);
  }

  takeInvitation() {
    const invitation = new URLSearchParams(location.hash.slice(1));
    if (!invitation.has("token") && !invitation.has("url")) return;
    if (invitation.has("token")) useToken(invitation.get("token"));
    history.replaceState(null, "", location.pathname); // what opens the fog does not stay where it can be seen
  }

  ask(words) {
    this.errorLine.textContent = words;
    this.input.value = "";
    this.dialog.showModal();
    return new Promise((resolve) => {
      this.answer = resolve;
    });
  }

  done(event) {
    event.preventDefault();
    this.answer(this.input.value.trim());
    this.answer = null;
    this.dialog.close();
  }
}

customElements.define("fog-login", FogLogin);
