import jupyter from '@jupyter/eslint-plugin';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  { ignores: ['lib', 'node_modules', 'eslint.config.mjs'] },
  {
    files: ['src/**/*.{ts,tsx}'],
    extends: [tseslint.configs.recommended],
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-this-alias': 'off',
      eqeqeq: 'error',
      'no-console': 'error'
    }
  },
  { files: ['src/**/*.{ts,tsx}', 'schema/*.json'], plugins: { jupyter } },
  ...jupyter.configs.recommended,
  {
    // What plugins import at the top is small and needed at once; dialogs and viewers are imported when they are opened.
    files: ['src/plugins/*.ts'],
    rules: { 'jupyter/prefer-lazy-imports': 'off' }
  }
);
