// What the theme and pandas leave without a name for screen readers, and pictures that a tap enlarges.
document.addEventListener("DOMContentLoaded", () => {
  const sidebar = document.querySelector(".bd-sidebar-primary");
  sidebar?.setAttribute("role", "region");
  sidebar?.setAttribute("aria-label", "Site");
  for (const summary of document.querySelectorAll(".bd-sidebar-primary summary")) {
    const page = summary.closest("li").querySelector("a").textContent.trim();
    summary.setAttribute("aria-label", `Pages of ${page}`);
  }
  for (const button of document.querySelectorAll(".search-button-field")) {
    button.removeAttribute("aria-label"); // its text is its name
  }
  for (const corner of document.querySelectorAll("thead th")) {
    if (!corner.textContent.trim()) {
      corner.replaceWith(document.createElement("td"));
    }
  }
  for (const wide of document.querySelectorAll(".pst-scrollable-table-container, .text_html, .bd-article div.math")) {
    if (wide.scrollWidth > wide.clientWidth) {
      wide.tabIndex = 0; // to be scrolled by keys
    }
  }
  for (const picture of document.querySelectorAll(".bd-article img")) {
    if (!picture.closest("a")) {
      const link = document.createElement("a");
      link.href = picture.src;
      picture.replaceWith(link);
      link.append(picture);
    }
  }
});
