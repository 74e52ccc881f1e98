// Parts of a page that change by themselves: each element with an id and data-follow (seconds) is
// fetched anew and replaced while the page is looked at. What somebody is using stays as it is.
const parts = () => [...document.querySelectorAll("[data-follow][id]")];

async function look() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of parts()) {
    const fresh = page.getElementById(part.id);
    const isSame = fresh === null || fresh.isEqualNode(part);
    if (!isSame && !part.contains(document.activeElement)) part.replaceWith(document.adoptNode(fresh));
  }
}

async function follow() {
  while (parts().length > 0) {
    const seconds = Math.min(...parts().map((part) => Number(part.dataset.follow)));
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    if (document.hidden) continue;
    await look().catch(() => {}); // the server is away: the next look may find it
  }
}

follow();
