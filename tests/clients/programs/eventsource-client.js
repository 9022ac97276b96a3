// `eventsource-client`: an EventSource that can send headers and delivers every kind of event.
import { createEventSource } from 'eventsource-client';
import { report } from './report.js';

const [url, token] = process.argv.slice(2);
createEventSource({ url, headers: { Authorization: `Bearer ${token}` }, onMessage: report });
