-- wrk sends requests for a proxy: the target in absolute form, with credentials. Straight to the origin when there are none.
local headers = {["Host"] = os.getenv("ORIGIN")}
if os.getenv("CREDENTIAL") ~= "" then
    headers["Proxy-Authorization"] = "Basic " .. os.getenv("CREDENTIAL")
end
wrk.headers = headers
local bytes
request = function()
    bytes = bytes or wrk.format("GET", os.getenv("TARGET"), headers)
    return bytes
end
