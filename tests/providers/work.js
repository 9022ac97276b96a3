// Work that requires an account of its owner at a provider.

import { createPerson } from './person.js';

/**
 * Creates a task of the owner that requires a provider. An agent claims it. Returns a function that asks for the token of
 * the owner, as the agent, at this gateway or another one.
 */
export async function claim(owner, provider) {
  const task_type = `for-${owner.username}`;
  const { id } = await owner.post('/v1/tasks', { task_type, requires: [provider] }, 201);
  const agent = await createPerson(owner.gateway, 'agent');
  const [{ lease_token }] = await agent.post('/v1/tasks/claim', { skills: [task_type], lease_seconds: 300 });
  const work = { topic: `task.${id}`, lease_token };
  return (gateway = agent.gateway) => agent.at(gateway).post(`/v1/oauth/grants/${provider}/token`, work);
}
