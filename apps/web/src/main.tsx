import '@mantine/core/styles.css';
import './style.css';
import { type CSSVariablesResolver, createTheme, MantineProvider } from '@mantine/core';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { allowStyles } from './trusted-types.ts';

const theme = createTheme({
  primaryColor: 'indigo',
  primaryShade: 8,
  defaultRadius: 'md',
  cursorType: 'pointer',
  fontFamily: 'Inter, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif',
});

/** Small text that can be read: at least 4.5 to 1, also on a row that is selected. */
const cssVariablesResolver: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': 'var(--mantine-color-gray-7)',
    '--mantine-color-placeholder': 'var(--mantine-color-gray-7)',
    '--mantine-color-error': 'var(--mantine-color-red-9)',
    // Lighter under the mouse: the library's darker ones are too dark for their text.
    '--mantine-color-indigo-light-hover': 'var(--mantine-color-indigo-0)',
    '--mantine-color-red-light-hover': 'var(--mantine-color-red-0)',
  },
  dark: {
    '--mantine-color-dimmed': 'var(--mantine-color-dark-1)',
    '--mantine-color-placeholder': 'var(--mantine-color-dark-1)',
    '--mantine-color-error': 'var(--mantine-color-red-4)',
  },
});

/** Of this page, for the styles that components make. */
const nonce = document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce;

allowStyles();
createRoot(document.getElementById('root') as HTMLElement).render(
  <MantineProvider
    theme={theme}
    cssVariablesResolver={cssVariablesResolver}
    defaultColorScheme="auto"
    {...(nonce ? { getStyleNonce: () => nonce } : {})}
  >
    <App />
  </MantineProvider>,
);
