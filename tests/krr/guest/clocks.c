/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The clock that PCs have had since 1984: what it shows, its interrupt of each second, its alarm. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/rtc.h>
#include <sys/ioctl.h>

#include "check.h"

#define SECONDS 2
#define DAY (24 * 60 * 60)

static int second_of_day(int clock)
{
    struct rtc_time now;

    CHECK(ioctl(clock, RTC_RD_TIME, &now) == 0);
    CHECK(now.tm_year >= 120 && now.tm_mon < 12 && now.tm_mday >= 1 && now.tm_mday <= 31);
    return (now.tm_hour * 60 + now.tm_min) * 60 + now.tm_sec;
}

static void wait_for(int clock, unsigned long kind)
{
    unsigned long events;

    CHECK(read(clock, &events, sizeof(events)) == sizeof(events));
    CHECK((events & kind) && events >> 8 >= 1);
}

static void each_second(int clock)
{
    int begin = second_of_day(clock);

    CHECK(ioctl(clock, RTC_UIE_ON, 0) == 0);
    for (int i = 0; i < SECONDS; i++) {
        wait_for(clock, RTC_UF);
    }
    CHECK(ioctl(clock, RTC_UIE_OFF, 0) == 0);
    CHECK((second_of_day(clock) - begin + DAY) % DAY >= SECONDS - 1);
}

static void alarm_in(int clock, int seconds)
{
    int then = (second_of_day(clock) + seconds) % DAY;
    struct rtc_time when = {
        .tm_hour = then / 3600, .tm_min = then / 60 % 60, .tm_sec = then % 60
    };

    CHECK(ioctl(clock, RTC_ALM_SET, &when) == 0);
    CHECK(ioctl(clock, RTC_AIE_ON, 0) == 0);
    wait_for(clock, RTC_AF);
    CHECK(ioctl(clock, RTC_AIE_OFF, 0) == 0);
    CHECK((second_of_day(clock) - then + DAY) % DAY < DAY / 2);
}

int main(void)
{
    int clock = open("/dev/rtc0", O_RDONLY);

    CHECK(clock >= 0);
    each_second(clock);
    alarm_in(clock, SECONDS);
    printf("clocks: done\n");
    return 0;
}
