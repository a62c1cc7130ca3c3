/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HW_KRR_KRR_PCI_H
#define HW_KRR_KRR_PCI_H

#include <stdbool.h>
#include <stdint.h>

#define TYPE_KRR_PCI "krr"

/* Leaves a KRR_REQUEST_* for the guest and raises the interrupt. With the BQL. */
void krr_pci_request(uint32_t request);

/* First port of BAR0 and guest-physical address of BAR2; false while the
 * firmware or the guest has not mapped them. */
bool krr_pci_addresses(uint32_t *pio_base, uint64_t *shared_address);

#endif
