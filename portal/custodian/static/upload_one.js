// The page of one upload: sends the files that somebody chooses, and shows how far they are.
import { send, Stopped } from "/assets/upload_sending.js";

const POLL_SECONDS = 3;

const percent = (part, whole) => `${whole === 0 ? 100 : Math.floor((100 * part) / whole)}%`;

export function follow(files = []) {
  const section = document.querySelector("#transfer");
  if (section === null) return;
  const page = new Page(section);
  section.querySelector("[data-choose]")?.addEventListener("change", (event) => page.send([...event.target.files]));
  if (files.length > 0) page.send(files);
  else if (section.dataset.state === "received" && section.dataset.known === "no") page.wait();
}

class Page {
  constructor(section) {
    this.id = section.dataset.upload;
    this.pieceBytes = Number(section.dataset.piece);
    this.status = section.querySelector("[data-status]");
    this.problem = section.querySelector("[data-problem]");
    this.choice = section.querySelector("[data-choose]");
    this.csrf = section.querySelector("[name=csrf]").value;
    this.rows = [...section.querySelectorAll("[data-file]")];
    for (const row of this.rows) this.show(row, Number(row.dataset.arrived));
  }

  show(row, arrived) {
    row.dataset.arrived = arrived;
    const size = Number(row.dataset.size);
    row.querySelector("progress").value = size === 0 ? 1 : arrived;
    row.querySelector("[data-share]").textContent = percent(arrived, size);
  }

  missing() {
    return this.rows.filter((row) => Number(row.dataset.arrived) < Number(row.dataset.size));
  }

  fileFor(row, files) {
    // By name and size; a file that was changed since it was first chosen is another one.
    const file = files.find((one) => one.name === row.dataset.name && one.size === Number(row.dataset.size));
    if (file === undefined) return undefined;
    const note = `upload ${this.id} ${row.dataset.file}`;
    const changed = localStorage.getItem(note);
    if (Number(row.dataset.arrived) > 0 && changed !== null && Number(changed) !== file.lastModified) {
      throw new Stopped(`${file.name} was changed since it was first chosen: hand it over as a new upload.`);
    }
    localStorage.setItem(note, String(file.lastModified));
    return file;
  }

  async send(files) {
    this.problem.hidden = true;
    if (this.choice) this.choice.disabled = true;
    window.addEventListener("beforeunload", this.ask);
    try {
      for (const row of this.missing()) {
        const file = this.fileFor(row, files);
        if (file === undefined) continue;
        this.status.textContent = `Sending ${file.name} ...`;
        await send(file, {
          address: row.dataset.address,
          csrf: this.csrf,
          pieceBytes: this.pieceBytes,
          onProgress: (arrived) => this.show(row, arrived),
          isOpen: () => this.isOpen(),
        });
      }
      const missing = this.missing();
      if (missing.length === 0) return this.leave();
      throw new Stopped(`Still to come: ${missing.map((row) => row.dataset.name).join(", ")}. Choose them, too.`);
    } catch (error) {
      if (!(error instanceof Stopped)) error.message = "The transfer stopped. Choose the same files again to go on.";
      if (!(await this.isOpen())) return this.leave();
      this.status.textContent = "";
      this.problem.textContent = error.message;
      this.problem.hidden = false;
      if (this.choice) this.choice.disabled = false;
    } finally {
      window.removeEventListener("beforeunload", this.ask);
    }
  }

  ask(event) {
    event.preventDefault(); // the browser asks whether to leave
  }

  async state() {
    const response = await fetch(`/uploads/${this.id}/state`, { headers: { Accept: "application/json" } });
    return response.ok ? response.json() : null;
  }

  async isOpen() {
    try {
      const state = await this.state();
      return state === null || state.state === "receiving";
    } catch {
      return true; // nobody knows while the connection is down
    }
  }

  async wait() {
    this.status.textContent = "Checking the structure ...";
    for (;;) {
      await new Promise((done) => setTimeout(done, 1000 * POLL_SECONDS));
      const state = await this.state().catch(() => null);
      if (state !== null && (state.state !== "received" || state.is_structure_known)) return this.leave();
    }
  }

  leave() {
    window.removeEventListener("beforeunload", this.ask);
    location.assign(`/uploads/${this.id}`);
  }
}

follow();
