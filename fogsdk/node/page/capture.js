/**
 * What a phone can give a task: a photo, a file, its position.
 */

/** Pixels along the longer side that a photo is scaled down to; a phone's own has three times as many. */
export const LONGEST_SIDE = 1600;

/** Bytes up to which a picture is sent as it is. */
export const LARGE_PICTURE = 1_500_000;

/** Bytes of all arguments of a task: what a node takes. */
export const LARGEST = 16 * 1024 * 1024 - 64 * 1024;

const QUALITY = 0.85;

/** The bytes of a file, and a word on them. A photo that is too large is scaled down, and becomes a JPEG. */
export async function read(file) {
  const scaled = file.type.startsWith("image/") && file.size > LARGE_PICTURE ? await scaleDown(file) : null;
  const blob = scaled?.blob ?? file;
  if (blob.size > LARGEST) throw new Error(`That is too large: a task takes ${Math.floor(LARGEST / 1e6)} MB.`);
  return {
    bytes: new Uint8Array(await blob.arrayBuffer()),
    name: file.name,
    type: blob.type,
    scaled: scaled && `scaled down to ${scaled.width} × ${scaled.height} pixels`,
  };
}

async function scaleDown(file) {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    return null; // no picture that this browser knows: it goes as it is
  }
  const shrink = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((side) => Math.max(1, Math.round(side * shrink)));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").drawImage(picture, 0, 0, width, height);
  picture.close();
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  return blob && blob.size < file.size ? { blob, width, height } : null;
}

/** Why this page may not ask where the phone is; empty if it may. */
export function whyNoPosition() {
  if (!window.isSecureContext) {
    return "The browser tells the position only to pages that come over https. This one came over http: please type it.";
  }
  return "geolocation" in navigator ? "" : "This browser does not know where it is: please type it.";
}

/** Where the phone is: latitude and longitude in degrees, accuracy in metres. Throws an Error with a reason for people. */
export function position() {
  const reasons = {
    1: "The browser was not allowed to tell the position. Allow it in its settings, or type it.",
    2: "The position cannot be found out here. Please type it.",
    3: "Finding the position took too long. Try again, or type it.",
  };
  return new Promise((resolve, reject) => {
    const { geolocation } = navigator;
    const found = ({ coords }) => resolve(rounded(coords));
    const failed = ({ code }) => reject(new Error(reasons[code] ?? reasons[2]));
    geolocation.getCurrentPosition(found, failed, { enableHighAccuracy: true, timeout: 15_000, maximumAge: 10_000 });
  });
}

function rounded({ latitude, longitude, accuracy }) {
  const degrees = (number) => Number(number.toFixed(6)); // a tenth of a metre
  return { latitude: degrees(latitude), longitude: degrees(longitude), accuracy: Number(accuracy.toFixed(1)) };
}
