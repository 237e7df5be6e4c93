-- Commands about answers that were given: what they cost, why they came, and that one was wrong.

local client = require('beast.client')
local notice = require('beast.notice')

local M = {}

---@param name string
---@param argument table
---@param done fun(result: table)
local function ask(name, argument, done)
  client.command(name, argument, {
    on_done = function(problem, result)
      if problem then
        return not notice.cancelled(problem) and notice.fail(problem)
      end
      done(result)
    end,
  })
end

---@param request_id? string
---@return table
local function of(request_id)
  return request_id and { request_id = request_id } or {}
end

--- What today and this month cost.
function M.cost()
  ask('cost', {}, function(result)
    notice.info(result.line)
  end)
end

--- Why the last answer came from where it came: its route, and what the cache did.
---@param request_id? string
function M.why(request_id)
  ask('explainLast', vim.tbl_extend('force', of(request_id), { show = false }), function(result)
    require('beast.show').open('BEAST: why this answer'):set(result.markdown or '')
  end)
end

--- Never serve that answer again.
---@param request_id? string nil: the last one.
function M.reject(request_id)
  ask('reject', of(request_id), function()
    notice.info('that answer will not be given to that question again.')
  end)
end

--- Opens the dashboard in a browser.
function M.dashboard()
  ask('dashboard', {}, function(result)
    if not result.opened then
      notice.info('no browser could be opened; the dashboard, once, is at ' .. result.url)
    end
  end)
end

return M
