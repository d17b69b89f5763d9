/**
 * How another device gets here: `<fog-devices>`, with the QR code of the invitation and the SDK for phones.
 */

import { h, size } from "./dom.js";
import { NoToken, Unreachable, read } from "./door.js";

class FogDevices extends HTMLElement {
  /** Fetch what is shown, and show it. */
  async show() {
    try {
      const [invitation, bundle] = await Promise.all(["/fog/v1/invite", "/fog/v1/phone"].map(read));
      const parts = [invitation && this.invitation(invitation), bundle && this.bundle(bundle)].filter(Boolean);
      if (parts.length) this.replaceChildren(h("h2", null, "Another device"), ...parts);
    } catch (error) {
      if (!(error instanceof Unreachable || error instanceof NoToken)) throw error; // fetched again when the node is back
    }
  }

  invitation({ url, qr }) {
    if (this.code) URL.revokeObjectURL(this.code);
    this.code = URL.createObjectURL(new Blob([qr], { type: "image/svg+xml" }));
    const local = ["localhost", "127.0.0.1", "[::1]"].includes(new URL(url).hostname);
    return h(
      "div",
      { class: "card invitation" },
      h("img", { class: "qr", src: this.code, alt: "QR code of the invitation", width: 168, height: 168 }),
      h(
        "div",
        null,
        h("p", null, h("strong", null, "Open this page on a phone")),
        h(
          "p",
          { class: "hint" },
          "Point its camera at the code. The code holds the address of this page and, where one is needed, your token: show it to those whom you would give that.",
        ),
        local
          ? h(
              "p",
              { class: "note" },
              "This address leads to this computer alone. Open the page by the computer's address in the network for a code that others can use.",
            )
          : h("p", null, h("code", null, url)),
      ),
    );
  }

  bundle({ url, sha256, size: bytes }) {
    return h(
      "div",
      { class: "card bundle" },
      h("p", null, h("strong", null, "Python on a phone")),
      h(
        "p",
        { class: "hint" },
        "The SDK for Pythonista and other Pythons without pip, in one file to put beside a script.",
      ),
      h("p", null, h("a", { class: "button", href: url, download: true }, `Download, ${size(bytes)}`)),
      h("p", { class: "hash" }, h("span", null, "SHA-256"), h("code", null, sha256)),
    );
  }
}

customElements.define("fog-devices", FogDevices);
