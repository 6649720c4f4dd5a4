import { defineConfig } from "vitest/config";

// "unit" is `npm test`; "long" (kills, many seeds) is `npm run test:long`. Long tests end in .long.test.ts.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/**/*.long.test.ts"],
          testTimeout: 30_000,
        },
      },
      { test: { name: "long", include: ["test/**/*.long.test.ts"], testTimeout: 600_000 } },
    ],
  },
});
