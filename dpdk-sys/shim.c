/* SPDX-License-Identifier: Apache-2.0
 *
 * What bindgen cannot express: thread-local macros and structures whose shape changed between
 * DPDK 22.11 and current releases.
 */
#include <string.h>

#include "wrapper.h"

int shim_errno(void)
{
	return rte_errno;
}

int shim_link(uint16_t port_id, struct shim_link *link)
{
	struct rte_eth_link seen;
	int error;

	memset(&seen, 0, sizeof(seen));
	error = rte_eth_link_get_nowait(port_id, &seen);
	if (error != 0)
		return error;
	link->speed_mbps = seen.link_speed;
	link->is_up = seen.link_status == RTE_ETH_LINK_UP;
	link->is_full_duplex = seen.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	return 0;
}
