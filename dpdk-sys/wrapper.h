/* SPDX-License-Identifier: Apache-2.0
 *
 * What bindgen reads: the DPDK headers whose functions the allowlist of build.rs names, and the
 * declarations of shim.c. Constants that DPDK defines by macros which bindgen cannot evaluate, and
 * the places of mbuf fields, appear here as plain constants.
 */
#ifndef SLUICE_DPDK_WRAPPER_H
#define SLUICE_DPDK_WRAPPER_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <rte_bus.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_pdump.h>
#include <rte_version.h>

/*
 * Where the fields of struct rte_mbuf are. Between 22.11 and current releases some of them moved
 * into anonymous unions, which changes their path for bindgen but never the layout of one release;
 * an offset works everywhere and costs nothing, where an accessor function would be a call per
 * packet.
 */
static const size_t SHIM_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr);
static const size_t SHIM_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off);
static const size_t SHIM_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs);
static const size_t SHIM_MBUF_PORT = offsetof(struct rte_mbuf, port);
static const size_t SHIM_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len);
static const size_t SHIM_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len);
static const size_t SHIM_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len);
static const size_t SHIM_MBUF_NEXT = offsetof(struct rte_mbuf, next);

/* The widths that readers of those offsets rely on. */
_Static_assert(sizeof(((struct rte_mbuf *)0)->data_off) == 2, "data_off is 16 bits");
_Static_assert(sizeof(((struct rte_mbuf *)0)->nb_segs) == 2, "nb_segs is 16 bits");
_Static_assert(sizeof(((struct rte_mbuf *)0)->port) == 2, "port is 16 bits");
_Static_assert(sizeof(((struct rte_mbuf *)0)->pkt_len) == 4, "pkt_len is 32 bits");
_Static_assert(sizeof(((struct rte_mbuf *)0)->data_len) == 2, "data_len is 16 bits");
_Static_assert(sizeof(((struct rte_mbuf *)0)->buf_len) == 2, "buf_len is 16 bits");

/* RSS over addresses and, where there are any, ports: masked by what the device can do. */
static const uint64_t SHIM_RSS_IP_L4 =
	RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_TCP |
	RTE_ETH_RSS_NONFRAG_IPV4_UDP | RTE_ETH_RSS_NONFRAG_IPV4_OTHER | RTE_ETH_RSS_IPV6 |
	RTE_ETH_RSS_FRAG_IPV6 | RTE_ETH_RSS_NONFRAG_IPV6_TCP | RTE_ETH_RSS_NONFRAG_IPV6_UDP |
	RTE_ETH_RSS_NONFRAG_IPV6_OTHER;

/* Bytes that a driver leaves free in front of a received frame. */
static const uint16_t SHIM_PKTMBUF_HEADROOM = RTE_PKTMBUF_HEADROOM;
/* The most lcores that this libdpdk can have. */
static const uint32_t SHIM_MAX_LCORE = RTE_MAX_LCORE;
static const int32_t SHIM_SOCKET_ID_ANY = SOCKET_ID_ANY;

/* rte_errno of the calling thread: a macro over thread-local storage. */
int shim_errno(void);

/* A link's state. struct rte_eth_link became a union in later releases. */
struct shim_link {
	uint32_t speed_mbps; /* UINT32_MAX where the device does not know */
	uint8_t is_up;
	uint8_t is_full_duplex;
};

/* The link as the driver last saw it, without waiting. 0, or a negative errno. */
int shim_link(uint16_t port_id, struct shim_link *link);

#endif
