// The form of a new upload: announces the files, then shows the upload's page and sends them. The
// page is loaded into this one, because the chosen files would be lost with it.
import { answer } from "/assets/upload_sending.js";
import { follow } from "/assets/upload_one.js";

const form = document.querySelector("#new-upload");
const problem = form.querySelector("[data-problem]");
const tables = form.querySelector("[data-tables]");

function showTables() {
  const [chosen] = form.elements.dataset.selectedOptions;
  tables.textContent = chosen ? `Its tables: ${chosen.dataset.files}` : "";
}

form.elements.dataset.addEventListener("change", showTables);
showTables();

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.hidden = true;
  const button = form.querySelector("button");
  button.disabled = true;
  const files = [...form.elements.files.files];
  try {
    const response = await fetch(form.action, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/json",
        "X-CSRF": form.elements.csrf.value,
      },
      body: JSON.stringify({
        dataset: form.elements.dataset.value,
        delete_on: form.elements.delete_on.value,
        files: files.map((file) => ({ name: file.name, size: file.size })),
      }),
    });
    const words = await answer(response.clone());
    if (words !== null) throw new Error(words);
    const upload = await response.json();
    await show(upload.page);
    follow(files);
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
    button.disabled = false;
  }
});

async function show(address) {
  const text = await (await fetch(address)).text();
  const page = new DOMParser().parseFromString(text, "text/html");
  document.querySelector("main").replaceWith(page.querySelector("main"));
  document.title = page.title;
  history.pushState({}, "", address);
  window.addEventListener("popstate", () => location.reload());
}
