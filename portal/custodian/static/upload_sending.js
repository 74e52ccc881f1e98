// Sends files of an upload in pieces, from where those that arrived end (tus 1.0).

const WAITS = [1, 2, 5, 10, 20, 30, 30, 30, 60, 60]; // seconds before the next try

export class Stopped extends Error {}

const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));

export async function answer(response) {
  // What went wrong, in words for a person; null where nothing did.
  if (response.status === 401 || response.redirected) {
    return "You are signed out: sign in again, and choose the same files again.";
  }
  if (response.ok) return null;
  try {
    return (await response.json()).error;
  } catch {
    return `The server answered ${response.status}.`;
  }
}

async function offsetOf(address) {
  const response = await fetch(address, { method: "HEAD", headers: { Accept: "application/json" } });
  if (!response.ok) throw new Stopped(await answer(response) ?? "The upload is gone.");
  return Number(response.headers.get("Upload-Offset"));
}

function sendPiece(address, csrf, offset, piece, onProgress) {
  // XMLHttpRequest, because fetch does not say how much of a body was sent
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PATCH", address);
    request.setRequestHeader("Tus-Resumable", "1.0.0");
    request.setRequestHeader("Upload-Offset", String(offset));
    request.setRequestHeader("Content-Type", "application/offset+octet-stream");
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRF", csrf);
    request.upload.onprogress = (event) => onProgress(offset + event.loaded);
    request.onerror = request.onabort = () => reject(new Error("cut"));
    request.onload = () => resolve(request);
    request.send(piece);
  });
}

function words(request) {
  try {
    return JSON.parse(request.responseText).error;
  } catch {
    return `The server answered ${request.status}.`;
  }
}

export async function send(file, { address, csrf, pieceBytes, onProgress, isOpen }) {
  // Raises Stopped, with words for a person, where another try would not help.
  let tries = 0;
  let offset = await offsetOf(address);
  onProgress(offset);
  while (offset < file.size) {
    try {
      const piece = file.slice(offset, offset + pieceBytes);
      const request = await sendPiece(address, csrf, offset, piece, onProgress);
      if (request.status === 204) {
        offset = Number(request.getResponseHeader("Upload-Offset"));
        tries = 0;
        continue;
      }
      // 409: other bytes came first. 423: the server still waits for a connection that was cut.
      if (![409, 423, 500, 502, 503, 504].includes(request.status)) throw new Stopped(words(request));
    } catch (problem) {
      if (problem instanceof Stopped) throw problem;
    }
    if (!(await isOpen())) throw new Stopped("The upload takes no more bytes.");
    if (tries >= WAITS.length) {
      throw new Stopped("The connection is lost. Choose the same files again later: they go on where they stopped.");
    }
    await pause(WAITS[tries++]);
    offset = await offsetOf(address).catch((problem) => {
      if (problem instanceof Stopped) throw problem;
      return offset;
    });
    onProgress(offset);
  }
}
