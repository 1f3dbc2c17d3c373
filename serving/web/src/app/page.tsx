import { Try } from "@/components/try";

export default function Home() {
  return <Try />;
}
