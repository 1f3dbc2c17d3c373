// Hands the statistics to Facets' element.
document.getElementById("facets").protoInput =
  document.getElementById("statistics").textContent.trim();
