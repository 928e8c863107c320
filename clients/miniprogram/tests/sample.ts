import { createClient, WxmintError } from 'wxmint-miniprogram'
import type { Client, ClientEvent, ClientOptions, Platform } from 'wxmint-miniprogram'

declare const platform: Platform

const told: string[] = []
const onEvent = (event: ClientEvent): void => {
  if (event.type === 'login') told.push(event.userId, String(event.newUser))
  if (event.type === 'ended') told.push(event.userId)
  if (event.type === 'binding_required') told.push(event.error.code)
  if (event.type === 'logout') told.push(event.type)
}

const options: ClientOptions = {
  url: 'https://login.example.com',
  appid: 'wx0123456789abcdef',
  platform,
  prefix: 'shop.',
  now: () => 0,
  onEvent,
}

export const client: Client = createClient(options)

interface Orders {
  orders: { id: number }[]
}

export async function show(): Promise<number> {
  const { data, statusCode, header } = await client.request<Orders>({
    url: 'https://api.example.com/orders',
    method: 'GET',
    data: { page: 1 },
    auth: 'optional',
    retry: true,
    timeout: 9,
  })
  const untyped = await client.request({ url: 'https://api.example.com/orders', onTask: (task) => task.abort() })
  return data.orders.length + statusCode + Number(header['X-Total']) + untyped.data.anything
}

export async function transfer(): Promise<string> {
  const onTask = (task: {
    abort(): void
    onProgressUpdate(listener: (progress: { progress: number }) => void): void
  }) => task.onProgressUpdate(({ progress }) => told.push(`${progress}`))
  const sent = await client.upload({
    url: 'https://api.example.com/files',
    filePath: 'wxfile://a',
    name: 'file',
    formData: { a: 1 },
    onTask,
  })
  const { tempFilePath } = await client.download({ url: 'https://api.example.com/files/1', onTask })
  return sent.data + tempFilePath
}

export async function account(): Promise<boolean | string | undefined> {
  const { userId, newUser } = await client.login()
  await client.login({})
  await client.login({ username: 'lin', password: 'jasmine' })
  await client.bind({ phoneCode: 'code' })
  const steps = await client.userData<{ stepInfoList: unknown[] }>({ encryptedData: '', iv: '' })
  await client.userData({ rawData: '', signature: '' })
  const { phoneNumber, purePhoneNumber, countryCode } = await client.phone('code')
  told.push(userId, await client.token(), phoneNumber, purePhoneNumber, countryCode, `${steps.stepInfoList.length}`)
  await client.session.reset()
  await client.unbind()
  await client.logout()
  await client.logout({ everywhere: true })
  const { status, userId: user } = client.state()
  return (await client.session.valid()) ? newUser : status === 'logged_in' ? user : status
}

export async function scan(query: Record<string, string | undefined>): Promise<string> {
  const found = client.scanned(query)
  if (!found) return ''
  const { clientId, clientName, address, userAgent, requestedAt, expiresIn, choices } = await client.device(found.userCode)
  if (!choices) await client.approve(found.userCode)
  else if (choices[0]) await client.approve(found.userCode, { match: choices[0] })
  await client.deny(found.userCode)
  return [clientId, clientName, address, userAgent, new Date((requestedAt + expiresIn) * 1000)].join()
}

export function explain(error: unknown): string {
  if (!(error instanceof WxmintError)) throw error
  const { name, code, message, status, retryAfter, requestId, cause } = error
  const seconds: number = retryAfter || 0
  const id: string | undefined = requestId
  return [name, code, message, status, seconds, id, typeof cause].join()
}
