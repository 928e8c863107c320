"""The chart of the day: logins a second above, and what stands in Redis below, hour by hour."""

GROUPS = {
    "bindings": ("binding", "user", "union"),
    "sessions": ("session",),
    "ends": ("ends", "stream"),
    "minutes": ("code",),
}
WORDS = {
    "": {
        "title": "A day of 1,000,000,000 logins", "rate": "logins a second, mean of the hour",
        "memory": "GB in Redis at the end of the hour", "bindings": "bindings", "sessions": "session keys",
        "ends": "ends", "minutes": "codes",
    },
    ".zh-CN": {
        "title": "一天 10 亿次登录", "rate": "每秒登录次数（小时平均）", "memory": "每小时末 Redis 中的数据（GB）",
        "bindings": "绑定", "sessions": "会话密钥", "ends": "吊销记录", "minutes": "code",
    },
}
STYLE = """<style>
  text { fill: #24292f } .quiet { fill: #6e7781 } .rate { fill: #0969da }
  .bindings { fill: #07a35a } .sessions { fill: #7cd3a5 } .ends { fill: #bf8700 } .minutes { fill: #cf222e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .rate { fill: #4493f8 }
    .bindings { fill: #1fc77a } .sessions { fill: #0d6b42 } .ends { fill: #d29922 } .minutes { fill: #f85149 }
  }
</style>"""
LEFT, WIDTH, TOP, HEIGHT, LOWER = 24, 28, 92, 110, 250


def svg(hours, language):
    words = WORDS[language]
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 440" role="img" font-family="system-ui, sans-serif"'
        f' font-size="13">\n<title>{words["title"]}</title>\n{STYLE}',
        text(16, 26, words["title"], 'font-size="16" font-weight="600"'),
        text(16, 56, words["rate"], 'class="quiet"'),
        text(16, LOWER - 22, words["memory"], 'class="quiet"'),
    ]
    most = max(hour["logins_a_second"] for hour in hours)
    fullest = max(sum(hour["gb"].values()) for hour in hours)
    for number, hour in enumerate(hours):
        left = LEFT + number * 30
        tall = HEIGHT * hour["logins_a_second"] / most
        parts.append(bar(left, TOP + HEIGHT - tall, tall, "rate"))
        parts.append(label(left, TOP + HEIGHT - tall - 5, f'{hour["logins_a_second"] / 1000:.0f}k'))
        bottom = LOWER + 150
        for group, kinds in GROUPS.items():
            tall = 140 * sum(hour["gb"][kind] for kind in kinds) / fullest
            bottom -= tall
            parts.append(bar(left, bottom, tall, group))
        parts.append(label(left, bottom - 5, f'{sum(hour["gb"].values()):.0f}'))
        parts.append(label(left, LOWER + 164, f"{number}"))
    for number, group in enumerate(GROUPS):
        parts.append(f'<rect x="{24 + 150 * number}" y="421" width="12" height="12" class="{group}"/>')
        parts.append(text(42 + 150 * number, 432, words[group]))
    return "\n".join(parts) + "\n</svg>\n"


def bar(left, top, tall, kind):
    return f'<rect x="{left}" y="{top:.1f}" width="{WIDTH}" height="{tall:.1f}" class="{kind}"/>'


def label(left, top, words):
    return text(left + WIDTH / 2, top, words, 'class="quiet" font-size="10" text-anchor="middle"')


def text(left, top, words, more=""):
    return f'<text x="{left:g}" y="{top:.1f}" {more}>{words}</text>'
