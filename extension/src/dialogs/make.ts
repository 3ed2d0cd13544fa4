/** New networks and volumes. */

import type { ICommandHost } from '../commands/registry';
import { askForm } from './form';

export async function askNetwork(host: ICommandHost): Promise<void> {
  const { trans, model, panel } = host;
  const values = await askForm(trans, {
    title: trans.__('Create a network'),
    does: trans.__('Create'),
    intro: trans.__('Containers on a network of their own find each other by name.'),
    fields: [
      { name: 'name', label: trans.__('Name'), type: 'text', required: true },
      { name: 'subnet', label: trans.__('Subnet'), type: 'text', placeholder: trans.__('chosen when empty') },
      { name: 'internal', label: trans.__('Without a way out'), type: 'check' }
    ]
  });
  if (values) {
    const subnet = String(values.subnet).trim();
    const { Id } = await model.api.createNetwork({
      Name: String(values.name).trim(),
      Internal: values.internal === true,
      ...(subnet ? { IPAM: { Config: [{ Subnet: subnet }] } } : {})
    });
    panel?.reveal('network', Id);
  }
}

export async function askVolume(host: ICommandHost): Promise<void> {
  const { trans, model, panel } = host;
  const values = await askForm(trans, {
    title: trans.__('Create a volume'),
    does: trans.__('Create'),
    intro: trans.__('Files in a volume outlive the containers that use it.'),
    fields: [{ name: 'name', label: trans.__('Name'), type: 'text', placeholder: trans.__('made up when empty') }]
  });
  if (values) {
    const name = String(values.name).trim();
    const { Name } = await model.api.createVolume(name ? { Name: name } : {});
    panel?.reveal('volume', Name);
  }
}
