-- The requests of the HTTP benchmark for wrk. Environment: TEMPLATE, a file with one whole request, in which "00000000"
-- stands for a counter; OUT, the file for the figures.
local file = assert(io.open(os.getenv("TEMPLATE"), "rb"))
local template = file:read("*a")
file:close()
local at = template:find("00000000", 1, true)
local before = at and template:sub(1, at - 1)
local after = at and template:sub(at + 8)
local number = (os.time() * 30000) % 100000000 -- faster than anyone answers, so that no two runs send the same request

function request()
    if not at then return template end
    number = (number + 1) % 100000000
    return before .. string.format("%08d", number) .. after
end

function done(summary, latency)
    local out = assert(io.open(os.getenv("OUT"), "w"))
    local errors = summary.errors
    out:write(string.format(
        '{"requests":%d,"seconds":%.4f,"errors":%d,"p50_us":%.1f,"p95_us":%.1f,"p99_us":%.1f}\n',
        summary.requests, summary.duration / 1e6, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50), latency:percentile(95), latency:percentile(99)))
    out:close()
end
