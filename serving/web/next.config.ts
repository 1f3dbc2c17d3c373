import type { NextConfig } from "next";

// A folder of static files: `genq serve` gives them out from the same origin as the API.
const config: NextConfig = {
  output: "export",
  trailingSlash: true,
  images: { unoptimized: true },
  reactStrictMode: true,
  devIndicators: false,
};

export default config;
