for (const film of document.querySelectorAll(".film")) {
  const strip = film.querySelector(".strip"), controls = film.querySelector(".controls");
  const slider = controls.querySelector("input"), button = controls.querySelector("button");
  const last = strip.children.length - 1;
  let timer = null;
  const show = (index) => { slider.value = index; strip.scrollLeft = (index - last) * strip.clientWidth; };
  const stop = () => { clearInterval(timer); timer = null; button.textContent = "\u25b6"; };
  const play = () => {
    button.textContent = "\u23f8";
    show(slider.valueAsNumber === last ? 0 : slider.valueAsNumber);
    timer = setInterval(() => slider.valueAsNumber === last ? stop() : show(slider.valueAsNumber + 1), 300);
  };
  slider.addEventListener("input", () => { stop(); show(slider.valueAsNumber); });
  button.addEventListener("click", () => timer ? stop() : play());
  strip.addEventListener("scroll", () => { if (!timer) slider.value = last + Math.round(strip.scrollLeft / strip.clientWidth); });
  addEventListener("resize", () => show(slider.valueAsNumber));
  strip.style.scrollbarWidth = "none";
  controls.hidden = last === 0;
  show(last);
}

for (const chart of document.querySelectorAll(".chart")) {
  const { unit, curves } = JSON.parse(chart.dataset.values);
  const svg = chart.querySelector("svg"), cursor = chart.querySelector(".cursor"), box = chart.querySelector("output");
  const reveal = (visible) => { cursor.style.visibility = box.style.visibility = visible ? "visible" : "hidden"; };
  svg.addEventListener("pointermove", (event) => {
    const area = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / area.width;
    const x = (event.clientX - area.left) * scale;
    const nearest = (points) => points.reduce((a, b) => Math.abs(b[0] - x) < Math.abs(a[0] - x) ? b : a);
    const found = curves.map((curve) => [curve.name, nearest(curve.at)]);
    const at = found[0][1];
    cursor.setAttribute("x1", at[0]);
    cursor.setAttribute("x2", at[0]);
    box.textContent = [at[2] + " " + unit, ...found.map(([name, point]) => name + "  " + point[3])].join("\n");
    const left = at[0] / scale + 12, room = area.width - box.offsetWidth;
    box.style.left = (left < room ? left : at[0] / scale - box.offsetWidth - 12) + "px";
    box.style.top = svg.offsetTop + event.clientY - area.top - box.offsetHeight / 2 + "px";
    reveal(true);
  });
  svg.addEventListener("pointerleave", () => reveal(false));
}
