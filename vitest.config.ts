import { defineConfig } from "vitest/config";

// "unit" is `npm test`; "long" (kills, many seeds) is `npm run test:long`; "services" (against a real
// broker, fetched through Maven) is `npm run test:services`. The file names tell: .long.test.ts,
// .services.test.ts.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/**/*.long.test.ts", "test/**/*.services.test.ts"],
          testTimeout: 30_000,
        },
      },
      { test: { name: "long", include: ["test/**/*.long.test.ts"], testTimeout: 600_000 } },
      {
        test: {
          name: "services",
          include: ["test/**/*.services.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 240_000,
        },
      },
    ],
  },
});
