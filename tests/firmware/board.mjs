// A board with the real MicroPython: node board.mjs <npm folder> <folder of the board> <program>
//
// Its flash is the folder, and beside it are two pipes to a modem, to which sockets are handed: see modem.py.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [npm, flash, program] = process.argv.slice(2);
const { loadMicroPython } = await import(
  pathToFileURL(path.join(npm, "node_modules/@micropython/micropython-webassembly-pyscript/micropython.mjs"))
);
const mp = await loadMicroPython({ heapsize: 128 * 1024, stdout: (line) => console.log(line) });

let asked, answered;
function modem(request) {
  asked ??= fs.openSync(path.join(flash, "modem.in"), "w");
  answered ??= fs.openSync(path.join(flash, "modem.out"), "r");
  fs.writeSync(asked, request + "\n");
  const byte = Buffer.alloc(1);
  let line = [];
  while (fs.readSync(answered, byte, 0, 1, null) === 1 && byte[0] !== 10) line.push(byte[0]);
  return Buffer.from(line).toString();
}

mp.registerJsModule("modem", { call: modem });
mp.registerJsModule("hostfiles", {
  read: (name) => (fs.existsSync(path.join(flash, name)) ? fs.readFileSync(path.join(flash, name), "utf8") : null),
  write: (name, text) => fs.writeFileSync(path.join(flash, name), text),
});

function put(folder, to) {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const [from, name] = [path.join(folder, entry.name), `${to}/${entry.name}`];
    if (entry.isDirectory()) {
      mp.FS.mkdir(name);
      put(from, name);
    } else if (entry.name.endsWith(".py")) mp.FS.writeFile(name, fs.readFileSync(from));
  }
}

mp.FS.mkdir("/flash");
put(flash, "/flash");
try {
  mp.runPython(`
import sys
sys.path[:] = ["/flash", "/flash/shim"]
import os
os.chdir("/flash")
exec(open("${program}").read(), {"__name__": "__main__"})
`);
} catch (error) {
  if (error.type !== "SystemExit") {
    console.error(error.message);
    process.exit(1);
  }
}
