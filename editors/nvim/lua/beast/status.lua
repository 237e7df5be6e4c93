-- The statusline component: what runs now, else the health, the model and what today cost.

local client = require('beast.client')

local M = {}

local FRAMES = { '⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏' }
local FRAME_MS = 100
local MARKS = { healthy = '●', degraded = '◐', unhealthy = '○' }

local last ---@type table? The server's last `beast/status`.
local timer ---@type uv.uv_timer_t?

--- The present picture of something that runs.
---@return string
function M.frame()
  return FRAMES[math.floor(vim.uv.now() / FRAME_MS) % #FRAMES + 1]
end

local function redraw()
  pcall(vim.cmd.redrawstatus)
end

--- Keeps the picture moving while something runs.
local function animate()
  if timer or #client.running() == 0 then
    return
  end
  timer = assert(vim.uv.new_timer())
  timer:start(
    FRAME_MS,
    FRAME_MS,
    vim.schedule_wrap(function()
      if timer and #client.running() == 0 then
        timer:close()
        timer = nil
      end
      redraw()
    end)
  )
end

--- `beast/status`: what the server says of the daemon.
---@param params table
function M.on_status(params)
  last = params
  vim.api.nvim_exec_autocmds('User', { pattern = 'BeastStatus', modeline = false, data = params })
end

--- The server's last word, for a statusline of one's own: `{ health, model, today, line }`.
---@return table?
function M.last()
  return last
end

--- One line for 'statusline', or for any plugin that draws one. Empty while no server is attached.
---@return string
function M.statusline()
  local running = client.running()
  if #running > 0 then
    local more = #running > 1 and (' +%d'):format(#running - 1) or ''
    return ('%s BEAST %s%s'):format(M.frame(), running[#running].label, more)
  elseif not client.get() then
    return ''
  elseif not last then
    return 'BEAST'
  end
  return ('%s %s'):format(MARKS[last.health] or '◌', last.line or ('BEAST ' .. (last.health or '')))
end

--- Shows what the daemon says of itself.
function M.show()
  client.command('status', {}, {
    quiet = true,
    on_done = function(problem, result)
      local notice = require('beast.notice')
      if problem then
        return notice.fail(problem)
      end
      notice.info(result.line or vim.inspect(result))
    end,
  })
end

vim.api.nvim_create_autocmd('User', {
  group = vim.api.nvim_create_augroup('beast.status', {}),
  pattern = 'BeastStatus',
  callback = function()
    animate()
    redraw()
  end,
})

return M
