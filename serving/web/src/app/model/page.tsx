import { ModelPage } from "@/components/model-page";

export default function Page() {
  return <ModelPage />;
}
